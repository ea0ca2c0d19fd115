// Filters as chips: a chip opens the choices, shows the chosen one, and is cleared by its cross. The choice is part of the address, and
// a chip only shows it.
import { Menu } from "@base-ui/react/menu";
import { CheckIcon, ChevronDown, CloseIcon } from "./icons.tsx";
import "./filter.css";

export function FilterChip<T extends string>(props: {
  label: string;
  value: T | undefined;
  options: readonly (T | { value: T; label: string })[];
  onChange: (value: T | undefined) => void;
}) {
  const options = props.options.map((option) =>
    typeof option === "string" ? { value: option, label: option as string } : option,
  );
  const chosen = options.find((option) => option.value === props.value)?.label ?? props.value;
  return (
    <span className={props.value === undefined ? "chip" : "chip on"}>
      <Menu.Root modal={false}>
        <Menu.Trigger className="chip-open">
          {props.label}
          {chosen === undefined ? null : (
            <>
              <span className="chip-is">:</span> <b>{chosen}</b>
            </>
          )}
          {chosen === undefined ? <ChevronDown /> : null}
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Positioner className="positioner" sideOffset={4} align="start">
            <Menu.Popup className="popup menu">
              <Menu.RadioGroup
                value={props.value ?? ""}
                onValueChange={(value) => props.onChange(value === "" ? undefined : (value as T))}
              >
                <MenuChoice value="" label="Any" />
                {options.map((option) => (
                  <MenuChoice key={option.value} {...option} />
                ))}
              </Menu.RadioGroup>
              {options.length === 0 ? <p className="menu-note">Nothing to choose yet</p> : null}
            </Menu.Popup>
          </Menu.Positioner>
        </Menu.Portal>
      </Menu.Root>
      {props.value === undefined ? null : (
        <button
          type="button"
          className="chip-clear"
          aria-label={`Clear ${props.label}`}
          onClick={() => props.onChange(undefined)}
        >
          <CloseIcon />
        </button>
      )}
    </span>
  );
}

function MenuChoice({ value, label }: { value: string; label: string }) {
  return (
    <Menu.RadioItem value={value} className="menu-item" closeOnClick>
      <span className="menu-check">
        <Menu.RadioItemIndicator>
          <CheckIcon />
        </Menu.RadioItemIndicator>
      </span>
      {label}
    </Menu.RadioItem>
  );
}

/** A few choices, of which exactly one is chosen. */
export function Segmented<T extends string>(props: {
  label: string;
  value: T;
  options: readonly { value: T; label: string; tip?: string }[];
  onChange: (value: T) => void;
}) {
  return (
    <div className="segmented" role="group" aria-label={props.label}>
      {props.options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === props.value}
          data-tip={option.tip}
          onClick={() => props.onChange(option.value)}
        >
          {option.label}
        </button>
      ))}
    </div>
  );
}
