// What is known of a provider before it is asked: where it serves, which variable holds its key, which models it lists, and where its API
// differs from OpenAI's. A preset is data. Its address is filled in by `lineshaft engines add --preset`, and its quirks are used for every
// engine at one of its hosts, however the engine was added.

/** A provider with a public API: OpenAI-compatible unless `kind` says otherwise. */
export interface Preset {
  /** Name for `--preset`. */
  name: string;
  about: string;
  /** The kind of its engines (kinds.ts); OpenAI-compatible where absent. */
  kind?: "anthropic" | "gemini";
  /** Base address up to and with its version; undefined where every customer has one of their own. */
  url: string | undefined;
  /** How a customer's own address is written, where `url` is undefined. */
  urlExample?: string;
  /** The environment variable that the provider's documentation names for its key. */
  keyEnv: string;
  /** Hosts that the key may be sent to (egress/hosts.ts has the forms). */
  hosts: readonly string[];
  /** Where the provider documents its API. */
  docs: string;
  /** Models that are known by name; the provider may serve more. */
  models: readonly PresetModel[];
  quirks: Quirks;
}

export interface PresetModel {
  /** The provider's own name of the model. */
  id: string;
  /** Longest prompt plus output, in tokens, where the provider's list of models does not say it. */
  contextTokens?: number;
  /** It makes embeddings, no text. */
  embeds?: true;
  /** Offered by `engines add`, and used only when its user takes it; absent where no public price was found. */
  price?: OfferedPrice;
}

/** A public price: units of the currency per million tokens, as the provider writes them. */
export interface OfferedPrice {
  currency: "USD";
  input: string;
  cached?: string;
  output: string;
  /** Of tokens that are written to the cache. */
  cacheWrite?: string;
  /** The same for the longer lifetime, where the provider has two. */
  cacheWriteLong?: string;
  /** Prices of calls whose whole prompt is longer. */
  tiers?: readonly { abovePromptTokens: number; input: string; cached?: string; output: string; cacheWrite?: string }[];
  /** When it was read, as year and month, and the page that publishes it. */
  asOf: string;
  source: string;
}

/** Where a provider's API differs from what unknown OpenAI-compatible software takes. */
interface Quirks {
  /** It is OpenAI's own API: its list of fields, and `max_completion_tokens` as the limit of chat calls. */
  openAi?: true;
  /** Header that carries the key; `authorization` with `Bearer` where absent. */
  keyHeader?: "api-key";
  /** Fields that it takes beyond those of unknown software. */
  extraFields?: readonly string[];
}
