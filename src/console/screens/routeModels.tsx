// The fields of a route that name models: one model, and the models that follow when it fails.
import { CloseIcon, ArrowUp, PlusIcon } from "../ui/icons.tsx";
import { Field } from "../ui/field.tsx";

interface ModelProps {
  label: string;
  help?: string;
  /** What no choice stands for. */
  none: string;
  error?: string | undefined;
  models: string[];
  value: string;
  onChange: (model: string) => void;
}

export function Model({ label, help, none, error, models, value, onChange }: ModelProps) {
  return (
    <Field label={label} help={help} error={error}>
      {(told) => (
        <select {...told} className="input" value={value} onChange={(event) => onChange(event.target.value)}>
          <option value="">{none}</option>
          {withChosen(models, value).map((model) => (
            <option key={model}>{model}</option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** A model that a route names is shown also where it is not served any more. */
const withChosen = (models: string[], value: string): string[] =>
  value === "" || models.includes(value) ? models : [...models, value];

export function Fallbacks({
  models,
  value,
  error,
  onChange,
}: {
  models: string[];
  value: string[];
  error: string | undefined;
  onChange: (fallbacks: string[]) => void;
}) {
  return (
    <div className="field" role="group" aria-labelledby="fallbacks" aria-describedby="fallbacks-help">
      <span id="fallbacks" className="label">
        Fallbacks
      </span>
      <ol className="fallbacks">
        {value.map((model, place) => (
          <li key={place}>
            <select
              className="input"
              aria-label={`Fallback ${place + 1}`}
              aria-invalid={error !== undefined}
              value={model}
              onChange={(event) => onChange(value.with(place, event.target.value))}
            >
              <option value="">Choose a model</option>
              {withChosen(models, model).map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
            {place === 0 ? null : (
              <button
                type="button"
                className="icon-button"
                aria-label={`Try ${model === "" ? "this model" : model} earlier`}
                data-tip="Earlier"
                onClick={() => onChange(value.with(place, value[place - 1]!).with(place - 1, model))}
              >
                <ArrowUp />
              </button>
            )}
            <button
              type="button"
              className="icon-button"
              aria-label={`Remove ${model === "" ? "this fallback" : model}`}
              data-tip="Remove"
              onClick={() => onChange(value.toSpliced(place, 1))}
            >
              <CloseIcon />
            </button>
          </li>
        ))}
      </ol>
      <button type="button" className="button small add-fallback" onClick={() => onChange([...value, ""])}>
        <PlusIcon />
        Add a fallback
      </button>
      <p id="fallbacks-help" className={error === undefined ? "help" : "help bad"} role={error && "alert"}>
        {error ??
          "Models that serve a call which its own cannot, in their order, each priced by its own card. One that has no price or cannot take the request is passed over."}
      </p>
    </div>
  );
}
