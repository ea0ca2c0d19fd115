// The metadata of the small model, from its real file.
import { expect, test } from "vitest";
import { smallModel } from "../../test/setup/model.ts";
import { readModelShape } from "./gguf.ts";

test("its KV: 30 layers of 3 heads of 64, both halves, 16 bits", async () => {
  expect(await readModelShape(await smallModel())).toEqual({
    kvBytesPerToken: 23_040,
    trainedContextTokens: 8_192,
    embeds: false,
  });
});
