// Keys act on the page only while no field has the focus and no dialog or menu is open.
export function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  if (target === null || event.defaultPrevented) return event.defaultPrevented;
  return (
    target.isContentEditable ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLInputElement && target.type !== "checkbox" && target.type !== "radio") ||
    target.closest("[role=dialog], [role=alertdialog], [role=menu]") !== null
  );
}
