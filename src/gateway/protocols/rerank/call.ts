// A rerank call as a ModelCall.
import { rerankFields, type Prompt } from "../../../engines/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import { InputCall } from "../inputCall.ts";

export class RerankCall extends InputCall {
  readonly shape = "rerank";
  readonly kind = "rerank";
  protected readonly sent = rerankFields;
  protected readonly ours = ["return_documents"];
  /** Cohere's second version, whose answers count searches. */
  readonly isCohere: boolean;

  constructor(body: Record<string, unknown>, received: RerankCall["received"], isCohere: boolean) {
    super(body, received);
    this.isCohere = isCohere;
  }

  get prompt(): Prompt {
    const top = this.body["top_n"];
    const { query } = this;
    return { kind: "rerank", query, documents: this.documents, ...(typeof top === "number" && { top }) };
  }

  get query(): string {
    return this.body["query"] as string;
  }

  get documents(): readonly string[] {
    return (this.body["documents"] as (string | { text: string })[]).map((one) =>
      typeof one === "string" ? one : one.text,
    );
  }

  get returnsDocuments(): boolean {
    return this.body["return_documents"] === true;
  }

  /** The model reads the query with each document. */
  protected texts(): readonly string[] {
    return this.documents.map((document) => `${this.query}${document}`);
  }

  /** Engines are sent documents as text: not all of them take objects. */
  override engineBody({ model }: { model: string }): Record<string, unknown> {
    return { ...this.body, documents: this.documents, model };
  }

  protected with(body: Record<string, unknown>): ModelCall {
    return new RerankCall(body, this.received, this.isCohere);
  }
}
