// What every route answers to every kind of caller, in the order of the tests.
import { management } from "./management.ts";
import { protocols } from "./protocols.ts";

export const table = [...management, ...protocols];
