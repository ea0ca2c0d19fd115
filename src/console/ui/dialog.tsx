// A dialog with a title and a form. When its request fails, the input stays and the reason is shown above the buttons.
import { Dialog } from "@base-ui/react/dialog";
import type { FormEvent, ReactNode } from "react";
import { CloseIcon } from "./icons.tsx";
import { Failure } from "./states.tsx";

export function FormDialog(props: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  children: ReactNode;
  /** Label of the button that submits. */
  action: string;
  danger?: boolean;
  busy: boolean;
  error?: unknown;
  disabled?: boolean;
  /** The request has succeeded, so the dialog can only be closed and not cancelled. */
  done?: boolean;
  onSubmit: () => void;
}) {
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!props.busy && props.disabled !== true) props.onSubmit();
  };
  return (
    <Dialog.Root open={props.open} onOpenChange={props.onOpenChange}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog popup">
          <div className="dialog-head">
            <Dialog.Title render={<h2 />}>{props.title}</Dialog.Title>
            <Dialog.Close className="icon-button" aria-label="Close">
              <CloseIcon />
            </Dialog.Close>
          </div>
          <form className="dialog-body" onSubmit={submit}>
            {props.children}
            {props.error === undefined || props.error === null ? null : <Failure error={props.error} />}
            <div className="dialog-foot">
              {props.done === true ? null : <Dialog.Close className="button">Cancel</Dialog.Close>}
              <button
                type="submit"
                className={props.danger === true ? "button primary danger" : "button primary"}
                disabled={props.busy || props.disabled === true}
              >
                {props.busy ? "One moment" : props.action}
              </button>
            </div>
          </form>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
