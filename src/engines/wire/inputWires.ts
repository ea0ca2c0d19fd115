// The APIs whose models read and write no text, by their shapes: what an adapter needs to ask them.
import type { Shape } from "../asked.ts";
import { embeddingFields, embeddingsPath, embeddingsReader } from "./embeddings/read.ts";
import { rerankFields, rerankPath, rerankReader } from "./rerank/read.ts";
import type { WireReader } from "./types.ts";

export interface InputWire {
  path: string;
  reader: WireReader<undefined>;
  /** Fields that every engine with this API is sent. */
  fields: readonly string[];
}

const inputWires: Partial<Record<Shape, InputWire>> = {
  embeddings: { path: embeddingsPath, reader: embeddingsReader, fields: embeddingFields },
  rerank: { path: rerankPath, reader: rerankReader, fields: rerankFields },
};

/** Undefined for APIs whose models write text. */
export const inputWireOf = (shape: Shape): InputWire | undefined => inputWires[shape];
