import { describe, expect, test } from "vitest";
import { LineshaftError } from "../errors/index.ts";
import { canonicalHost } from "../egress/index.ts";
import { isNeverKey, KeyEnvs, parseKeyEnvs, providers } from "./keyEnvs.ts";

describe("without a list of the operator's", () => {
  const envs = new KeyEnvs();
  test.each([
    ["OPENAI_API_KEY", "https://api.openai.com/v1"],
    ["DASHSCOPE_API_KEY", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"],
    ["ARK_API_KEY", "https://ark.cn-beijing.volces.com/api/v3"],
  ])("%s goes to its provider", (variable, url) => expect(envs.refusal(variable, [url])).toBeUndefined());

  test.each([
    ["OPENAI_API_KEY", "https://evil.test/v1", "may be sent to api.openai.com"],
    ["OPENAI_API_KEY", "http://api.openai.com/v1", "may be sent to api.openai.com"],
    ["OPENAI_API_KEY", "https://api.openai.com.evil.test/v1", "only, not to"],
    ["SLACK_TOKEN", "https://evil.test/v1", "not among the environment variables"],
    ["constructor", "https://evil.test/v1", "not among the environment variables"],
    ["PGPASSWORD", "https://evil.test/v1", "secret of this installation"],
    ["pgpassword", "https://evil.test/v1", "secret of this installation"],
  ])("%s does not go to %s", (variable, url, why) => expect(envs.refusal(variable, [url])?.message).toContain(why));

  test.each(Object.entries(providers))("%s goes to every host of its provider and to no other", (variable, hosts) => {
    for (const host of hosts) {
      expect(canonicalHost(host)).toBe(host);
      const url = `https://${host.replace("*", "mine")}/v1`;
      expect(envs.refusal(variable, [url])).toBeUndefined();
      expect(envs.refusal(variable, [url.replace("https", "http")])).toBeDefined();
      expect(envs.refusal(variable, [`https://${host.replace("*", "mine")}.evil.test/v1`])).toBeDefined();
    }
    expect(envs.refusal(variable, ["https://evil.test/v1"])?.message).toContain("may be sent to");
    // The operator may add a host, and an engine of before keeps its key.
    expect(parseKeyEnvs(`${variable}=api.example.com`).get(variable)).toEqual(["api.example.com"]);
    const before = ["https://old.example.com/v1"];
    expect(envs.refusal(variable, before, before)).toBeUndefined();
  });

  test.each([
    ["AZURE_OPENAI_API_KEY", "https://mine.openai.azure.com/openai/v1"],
    ["GOOGLE_API_KEY", "https://generativelanguage.googleapis.com/v1beta/openai"],
  ])("%s, whose beginning is that of machine secrets, goes to %s", (variable, url) =>
    expect(envs.refusal(variable, [url])).toBeUndefined(),
  );

  test("one address of several that is not covered refuses all", () => {
    const urls = ["https://api.openai.com/v1", "https://evil.test/v1"];
    expect(envs.refusal("OPENAI_API_KEY", urls)?.message).toContain("evil.test");
  });
});

test.each([
  ...["PGPASSWORD", "PGPASSFILE", "PG_PASS", "POSTGRES_PASSWORD", "DATABASE_URL", "MY_DATABASE_KEY", "REDIS_URL"],
  ...["LINESHAFT_KEY", "LINESHAFT_HOME", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"],
  ...["AZURE_CLIENT_SECRET", "AZURE_API_KEY", "GOOGLE_CLIENT_SECRET", "azure_openai_api_key", "google_api_key"],
  ...["AZURE_OPENAI_API_KEY_URL", "GCP_API_KEY"],
  ...["SSH_AUTH_SOCK", "PATH", "HOME", "RESTATE_IDENTITY_KEYS", "NPM_TOKEN", "SENTRY_DSN"],
])("%s is never an engine's key, not even listed", (variable) => {
  expect(isNeverKey(variable)).toBe(true);
  expect(() => parseKeyEnvs(`${variable}=api.example.com`)).toThrow(LineshaftError);
});

test("the operator lists variables with their hosts, and opens a provider's for a proxy", () => {
  const envs = KeyEnvs.of({
    LINESHAFT_KEY_ENVS: "EXAMPLE_KEY=api.example.com|*.example.net, OPENAI_API_KEY=http://proxy.lan:4000 ANY_KEY=*",
  });
  expect(envs.refusal("EXAMPLE_KEY", ["https://api.example.com/v1", "https://a.example.net/v1"])).toBeUndefined();
  expect(envs.refusal("EXAMPLE_KEY", ["https://evil.test/v1"])?.hint).toContain('LINESHAFT_KEY_ENVS="EXAMPLE_KEY=evil');
  expect(envs.refusal("OPENAI_API_KEY", ["http://proxy.lan:4000/v1"])).toBeUndefined();
  expect(envs.refusal("OPENAI_API_KEY", ["https://api.openai.com/v1"])).toBeDefined();
  expect(envs.refusal("ANY_KEY", ["http://anywhere.test/v1"])).toBeUndefined();
});

test.each(["EXAMPLE_KEY", "=api.example.com", "1X=api.example.com", "A_KEY=https://a.test/v1", "A_KEY=a.test|"])(
  "%j is refused with what is wrong",
  (text) => expect(() => parseKeyEnvs(text)).toThrow(LineshaftError),
);

test("an engine of before keeps its key for its own addresses, unless the variable is never a key", () => {
  const envs = new KeyEnvs();
  const urls = ["https://old.example.com/v1"];
  expect(envs.refusal("OLD_KEY", urls, urls)).toBeUndefined();
  expect(envs.refusal("OLD_KEY", ["https://other.example.com/v1"], urls)).toBeDefined();
  expect(envs.refusal("PGPASSWORD", urls, urls)).toBeDefined();
});
