import { describe, expect, test } from "vitest";
import { isNeverKey, KeyEnvs, KeyEnvsError, parseKeyEnvs } from "./keyEnvs.ts";

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

  test("one address of several that is not covered refuses all", () => {
    const urls = ["https://api.openai.com/v1", "https://evil.test/v1"];
    expect(envs.refusal("OPENAI_API_KEY", urls)?.message).toContain("evil.test");
  });
});

test.each([
  ...["PGPASSWORD", "PGPASSFILE", "PG_PASS", "POSTGRES_PASSWORD", "DATABASE_URL", "MY_DATABASE_KEY", "REDIS_URL"],
  ...["LINESHAFT_KEY", "LINESHAFT_HOME", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"],
  ...["AZURE_CLIENT_SECRET", "SSH_AUTH_SOCK", "PATH", "HOME", "RESTATE_IDENTITY_KEYS", "NPM_TOKEN", "SENTRY_DSN"],
])("%s is never an engine's key, not even listed", (variable) => {
  expect(isNeverKey(variable)).toBe(true);
  expect(() => parseKeyEnvs(`${variable}=api.example.com`)).toThrow(KeyEnvsError);
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
  (text) => expect(() => parseKeyEnvs(text)).toThrow(KeyEnvsError),
);

test("an engine of before keeps its key for its own addresses, unless the variable is never a key", () => {
  const envs = new KeyEnvs();
  const urls = ["https://old.example.com/v1"];
  expect(envs.refusal("OLD_KEY", urls, urls)).toBeUndefined();
  expect(envs.refusal("OLD_KEY", ["https://other.example.com/v1"], urls)).toBeDefined();
  expect(envs.refusal("PGPASSWORD", urls, urls)).toBeDefined();
});
