// One tooltip for the whole console. Any element with `data-tip` shows that text on hover and on keyboard focus. The listeners are on the
// document, so that ten thousand rows need none. A fact that stands in a tooltip only is also given to screen readers.

const showAfterMs = 250;

export function installTips(): void {
  const box = document.createElement("div");
  box.className = "tip";
  box.setAttribute("role", "presentation");
  box.hidden = true;
  document.body.append(box);
  let owner: Element | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const hide = () => {
    clearTimeout(timer);
    owner = null;
    box.hidden = true;
  };
  const show = (target: HTMLElement) => {
    const text = target.dataset["tip"];
    if (text === undefined || text === "" || !target.isConnected) return;
    box.textContent = text;
    box.hidden = false;
    const at = target.getBoundingClientRect();
    const own = box.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left + at.width / 2 - own.width / 2), window.innerWidth - own.width - 8);
    const above = at.top - own.height - 6;
    box.style.left = `${left}px`;
    box.style.top = `${above >= 8 ? above : at.bottom + 6}px`;
  };
  const enter = (event: Event) => {
    const target = (event.target as Element | null)?.closest?.<HTMLElement>("[data-tip]") ?? null;
    if (target === owner) return;
    hide();
    if (target === null) return;
    owner = target;
    timer = setTimeout(() => show(target), event.type === "focusin" ? 0 : showAfterMs);
  };
  document.addEventListener("pointerover", enter);
  document.addEventListener("focusin", (event) => {
    if ((event.target as Element).matches(":focus-visible")) enter(event);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("pointerdown", hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("scroll", hide, { capture: true, passive: true });
}
