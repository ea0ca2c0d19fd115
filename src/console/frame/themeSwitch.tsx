// The button that changes between the theme of the system, light and dark.
import { MoonIcon, SunIcon, SystemIcon } from "../ui/icons.tsx";
import { setTheme, useTheme, type Theme } from "../ui/media.ts";

const themes: { value: Theme; label: string; icon: typeof SunIcon; next: Theme }[] = [
  { value: "system", label: "Theme of the system", icon: SystemIcon, next: "light" },
  { value: "light", label: "Light theme", icon: SunIcon, next: "dark" },
  { value: "dark", label: "Dark theme", icon: MoonIcon, next: "system" },
];

export function ThemeSwitch() {
  const { theme } = useTheme();
  const current = themes.find((each) => each.value === theme) ?? themes[0]!;
  const Icon = current.icon;
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={`${current.label}; change`}
      data-tip={current.label}
      onClick={() => setTheme(current.next)}
    >
      <Icon />
    </button>
  );
}
