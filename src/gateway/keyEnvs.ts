// Which environment variables may hold an engine's key, and to which hosts each one goes.
//
// An organisation's owner writes an engine's address and the name of a variable. If any name were allowed, one request would send the
// database's password to an address of the owner's choice. So names are an allow-list: the providers' own variables, each for its
// provider's hosts, and those that the operator of the instance lists with their hosts in LINESHAFT_KEY_ENVS.
import { LineshaftError } from "../errors/index.ts";
import { canonicalHost, hostsCover, mostHosts } from "../egress/index.ts";
import { presets } from "../engines/index.ts";

/** Variables as the providers' documentation names them, and where each provider serves: those of the presets, and of others. */
export const providers: Readonly<Record<string, string[]>> = {
  ...Object.fromEntries(presets.map(({ keyEnv, hosts }) => [keyEnv, [...hosts]])),
  GOOGLE_API_KEY: ["generativelanguage.googleapis.com"],
  MISTRAL_API_KEY: ["api.mistral.ai"],
  COHERE_API_KEY: ["api.cohere.com", "api.cohere.ai"],
  GROQ_API_KEY: ["api.groq.com"],
  CEREBRAS_API_KEY: ["api.cerebras.ai"],
  TOGETHER_API_KEY: ["api.together.xyz", "api.together.ai"],
  FIREWORKS_API_KEY: ["api.fireworks.ai"],
  PERPLEXITY_API_KEY: ["api.perplexity.ai"],
  XAI_API_KEY: ["api.x.ai"],
  NVIDIA_API_KEY: ["integrate.api.nvidia.com"],
  HF_TOKEN: ["router.huggingface.co"],
  MINIMAX_API_KEY: ["api.minimax.io", "api.minimaxi.com"],
};

/** Names of secrets of the installation and the machine, which no list can allow. The providers' own variables are not among them. */
const neverKeys =
  /^(LINESHAFT|RESTATE|PG|POSTGRES|NODE|NPM|AWS|AZURE|GOOGLE|GCP|GCLOUD|GITHUB|GITLAB|CI|SSH|DOCKER|KUBERNETES|VAULT|REDIS|MYSQL|MONGO)(_|$)|^PG[A-Z]|^(PATH|HOME|USER|SHELL|PWD|HOSTNAME|TERM|LANG)$|DATABASE|PASSWORD|PASSWD|_URL$|_URI$|_DSN$/i;

/** True when a variable may hold a secret that is no provider's key: it is never sent, also where the operator lists it. */
export function isNeverKey(variable: string): boolean {
  return !Object.hasOwn(providers, variable) && neverKeys.test(variable);
}

/** A list that cannot be used. The message ends a sentence that names the variable. */
const unusable = (message: string) => new LineshaftError({ code: "setting_wrong", message });

/**
 * Reads LINESHAFT_KEY_ENVS: `NAME=host|host NAME=host`, `*` for any host. Throws LineshaftError `setting_wrong` that says what is wrong.
 */
export function parseKeyEnvs(text: string): Map<string, string[]> {
  const listed = new Map<string, string[]>();
  for (const item of text.split(/[\s,]+/).filter((one) => one !== "")) {
    const [, variable, hosts] = /^([A-Za-z_][A-Za-z0-9_]*)=(.+)$/.exec(item) ?? [];
    if (variable === undefined || hosts === undefined)
      throw unusable(`holds '${item}', which is not written like NAME=api.example.com`);
    if (isNeverKey(variable))
      throw unusable(`lists ${variable}, which may hold a secret of this installation or machine`);
    const canonical = hosts.split("|").map((host) => {
      const found = host === "*" ? host : canonicalHost(host);
      if (found === undefined) throw unusable(`gives ${variable} the host '${host}', which is not a host`);
      return found;
    });
    if (canonical.length > mostHosts) throw unusable(`gives ${variable} more than ${mostHosts} hosts`);
    listed.set(variable, canonical);
  }
  return listed;
}

/** Why a variable may not be sent to an address; undefined when it may. */
interface KeyRefusal {
  message: string;
  hint: string;
}

export class KeyEnvs {
  readonly #listed: Map<string, string[]>;

  /** `listed`: what the operator allows; it wins over the provider's own hosts. */
  constructor(listed: Map<string, string[]> = new Map()) {
    this.#listed = listed;
  }

  /** From the environment of the process. Throws LineshaftError `setting_wrong`. */
  static of(env: NodeJS.ProcessEnv): KeyEnvs {
    return new KeyEnvs(parseKeyEnvs(env["LINESHAFT_KEY_ENVS"] ?? ""));
  }

  /**
   * Whether the variable's value may be sent to these addresses. `carried`: addresses of an engine that was added before variables had
   * hosts; it keeps its key for them.
   */
  refusal(variable: string, urls: string[], carried: string[] = []): KeyRefusal | undefined {
    if (isNeverKey(variable))
      return {
        message: `${variable} may hold a secret of this installation, which must not be sent to an engine.`,
        hint: "Use a variable of its own, such as EXAMPLE_API_KEY, and have the operator list it in LINESHAFT_KEY_ENVS.",
      };
    const hosts = this.#listed.get(variable) ?? (Object.hasOwn(providers, variable) ? providers[variable] : undefined);
    for (const url of urls) {
      if (carried.includes(url)) continue;
      const host = new URL(url).host;
      const listing = `LINESHAFT_KEY_ENVS="${variable}=${url.startsWith("http://") ? "http://" : ""}${host}"`;
      if (hosts === undefined)
        return {
          message: `${variable} is not among the environment variables that may be sent to an engine.`,
          hint: `The operator lists it with its hosts and starts Lineshaft again: ${listing}`,
        };
      if (!hosts.includes("*") && !hostsCover(hosts, url))
        return {
          message: `${variable} may be sent to ${hosts.join(", ")} only, not to ${url}.`,
          hint: `If that address is right, the operator allows it and starts Lineshaft again: ${listing}`,
        };
    }
    return undefined;
  }
}
