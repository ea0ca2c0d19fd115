// Calls at endpoints that do not speak their API.
import { expect, test } from "vitest";
import type { RegisteredEndpoint } from "../../engines/index.ts";
import { chatOf, completionOf } from "./testing.ts";

const speaking = (...speaks: string[]): RegisteredEndpoint =>
  ({
    name: "m",
    kind: "openai",
    allowFields: [],
    facts: { models: ["m"], capabilities: { tokenize: false, kvEvents: false, speaks } },
  }) as unknown as RegisteredEndpoint;

test("a call of which the engine speaks no API is refused by name", () => {
  for (const call of [completionOf({}), chatOf({})])
    expect(() => call.fitted(speaking("embeddings"))).toThrow(
      expect.objectContaining({
        status: 400,
        code: "api_not_spoken",
        message: expect.stringContaining("speaks embeddings"),
      }),
    );
  expect(chatOf({}).fitted(speaking("embeddings", "chat")).shape).toBe("chat");
});
