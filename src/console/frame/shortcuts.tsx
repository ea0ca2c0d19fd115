// The list of the keys that the console has.
import { Dialog } from "@base-ui/react/dialog";
import { CloseIcon } from "../ui/icons.tsx";
import { places } from "./places.ts";

export function Shortcuts(props: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const rows: [string[], string][] = [
    [["/"], "Search"],
    [["j"], "Next row or step"],
    [["k"], "Row or step before"],
    [["Enter"], "Open"],
    [["Esc"], "Close, or back to the list"],
    ...places.map((place): [string[], string] => [["g", place.key], place.label]),
  ];
  return (
    <Dialog.Root open={props.open} onOpenChange={props.onOpenChange}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog popup">
          <div className="dialog-head">
            <Dialog.Title render={<h2 />}>Keyboard</Dialog.Title>
            <Dialog.Close className="icon-button" aria-label="Close">
              <CloseIcon />
            </Dialog.Close>
          </div>
          <dl className="shortcuts">
            {rows.map(([keys, label]) => (
              <div key={label}>
                <dt>{label}</dt>
                <dd>
                  {keys.map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dd>
              </div>
            ))}
          </dl>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
