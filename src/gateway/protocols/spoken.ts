// Whether an endpoint can be asked a call at all, and which fields would be lost where the call is written in another format than its own.
// A field that asks for something is refused by the client's name for it. A field that asks for nothing is left out, and the answer says
// so.
import { LineshaftError } from "../../errors/index.ts";
import { shapeFor, writerOf } from "../../engines/index.ts";
import type { Asked, Denied, RegisteredEndpoint, Shape } from "../../engines/index.ts";

/** The format in which the endpoint is asked the call. Throws a 400 where it speaks none that has such calls. */
export function shapeAt(asked: Pick<Asked, "shape">, { name, facts }: RegisteredEndpoint): Shape {
  const shape = shapeFor(asked, facts?.capabilities);
  if (shape !== undefined) return shape;
  const speaks = facts?.capabilities.speaks ?? [];
  const hint = "Ask a model that does: GET /v1/models lists them.";
  throw new LineshaftError({
    code: "api_not_spoken",
    param: "model",
    message: `The engine of ${name} takes no calls of the API "${asked.shape}" (it speaks ${speaks.join(", ")}). ${hint}`,
    hint,
  });
}

/** What is left out where the call is written in `shape`, as paths in the client's body. Throws a 400 at what may not be left out. */
export function leftOutIn(shape: Shape, asked: Asked, { name, facts }: RegisteredEndpoint): readonly string[] {
  const unsaid = writerOf(shape)!.unsaid(asked, facts?.capabilities ?? { tokenize: false, kvEvents: false });
  const refused = unsaid.find(({ isHint }) => !isHint);
  if (refused === undefined) return unsaid.map(({ path }) => path);
  const path = refused.path.slice(0, 200);
  throw new LineshaftError({
    code: "unsupported_parameter",
    param: path,
    message: `\`${path}\` ${refused.reason}, so the engine of ${name} cannot be asked it.`,
    hint: "Leave it out, or ask a model whose engine honours it.",
  });
}

/** Throws a 400 for a thing that an engine of the call's own API must not be asked. */
export function refuseDenied(denied: Denied | undefined, { name }: Pick<RegisteredEndpoint, "name">): void {
  if (denied === undefined) return;
  const path = denied.path.slice(0, 200);
  const { reason, allowedAs } = denied;
  const hint =
    allowedAs === undefined
      ? "Leave it out."
      : `Leave it out, or have an owner allow it: lineshaft engines add ${name} (as before) --allow-field ${allowedAs}.`;
  throw new LineshaftError({
    code: "unsupported_parameter",
    param: path,
    message: `\`${path}\` is not accepted: it ${reason}. ${hint}`,
    hint,
  });
}
