// All hostile inputs. To add some: write a file beside this one that exports a list, and name it here.
import { answerInputs } from "./answers.ts";
import { bodyInputs } from "./bodies.ts";
import { jsonInputs } from "./json.ts";
import { manifestInputs } from "./manifests.ts";
import { schemaInputs } from "./schemas.ts";
import type { HostileInput } from "./types.ts";

export type { HostileInput } from "./types.ts";

/** Every input once. Their names are unique; a test sees to it. */
export const corpus: readonly HostileInput[] = [
  ...jsonInputs,
  ...schemaInputs,
  ...manifestInputs,
  ...bodyInputs,
  ...answerInputs,
];
