// The page of the API at /api/docs: Scalar renders /api/openapi.json. Everything on it comes from this instance. Scalar's build for
// browsers is bundled here like any module, the fonts are the console's, and what would speak to Scalar's servers (an assistant,
// telemetry, links into its products) is switched off. The page's content security policy also refuses requests to other hosts.
import { createApiReference } from "@scalar/api-reference";
import { currentTheme, showTheme } from "../ui/media.ts";
import "./reference.css";

// Errors of the API name /api/docs#errors as their documentation. Scalar's address of that section is longer.
if (location.hash === "#errors") history.replaceState(null, "", "#description/errors");

const theme = currentTheme();
showTheme();
createApiReference("#reference", {
  url: "/api/openapi.json",
  // The theme that was chosen in the console. Without a choice Scalar follows the system, as the console does.
  ...(theme === "system" ? {} : { forceDarkModeState: theme }),
  hideDarkModeToggle: true,
  theme: "none",
  withDefaultFonts: false,
  documentDownloadType: "json",
  modelsSectionLabel: "Schemas",
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: "never",
});
