// Azure OpenAI by its v1 API: OpenAI's bodies, at an address of the customer's own, with the key in a header of its own. `model` is the
// name that the customer gave the deployment.
import { gptModels } from "./openai.ts";
import type { Preset } from "./types.ts";

export const azure: Preset = {
  name: "azure",
  about: "Azure OpenAI (v1 API)",
  url: undefined,
  urlExample: "https://RESOURCE.openai.azure.com/openai/v1",
  keyEnv: "AZURE_OPENAI_API_KEY",
  hosts: ["*.openai.azure.com"],
  docs: "https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
  models: gptModels,
  quirks: { openAi: true, keyHeader: "api-key" },
};
