// A field of a form: its label, its control, and below it either what it means or what is wrong with it. A screen reader reads both with
// the control.
import { useId, type ReactNode } from "react";

interface Told {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": boolean;
}

export function Field({
  label,
  help,
  error,
  children,
}: {
  label: string;
  help?: ReactNode;
  /** What is wrong with the value. It takes the place of the help. */
  error?: string | undefined;
  /** The control, which is given what binds it to its label and text. */
  children: (told: Told) => ReactNode;
}) {
  const id = useId();
  const below = error ?? help;
  return (
    <div className="field">
      <label className="label" htmlFor={id}>
        {label}
      </label>
      {children({
        id,
        "aria-describedby": below === undefined ? undefined : `${id}-help`,
        "aria-invalid": error !== undefined,
      })}
      {below === undefined ? null : (
        <p id={`${id}-help`} className={error === undefined ? "help" : "help bad"} role={error && "alert"}>
          {below}
        </p>
      )}
    </div>
  );
}

/** A choice of yes or no, with what it means below. */
export function Check({
  label,
  help,
  checked,
  onChange,
}: {
  label: string;
  help?: ReactNode;
  checked: boolean;
  onChange: (checked: boolean) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label className="check">
        <input
          type="checkbox"
          checked={checked}
          aria-describedby={help === undefined ? undefined : id}
          onChange={(event) => onChange(event.target.checked)}
        />
        {label}
      </label>
      {help === undefined ? null : (
        <p id={id} className="help check-help">
          {help}
        </p>
      )}
    </div>
  );
}
