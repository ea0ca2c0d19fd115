// Restate: embedded as a supervised child on unix sockets, or the one that RESTATE_INGRESS_URL and RESTATE_ADMIN_URL name.
import { renameSync, rmSync } from "node:fs";
import { restateCommand, type DurableOptions } from "../agents/index.ts";
import type { Home, Supervisor } from "../fleet/index.ts";
import type { Settings } from "./settings.ts";
import { childStopMs } from "./undo.ts";

/** Where Restate's SDKs listen unless told otherwise. */
const usualEndpointPort = 9080;

/** Starts the embedded Restate, or answers where the operator's own is. */
export async function startRestate(home: Home, settings: Settings, supervisor: Supervisor): Promise<DurableOptions> {
  const { RESTATE_INGRESS_URL, RESTATE_ADMIN_URL, LINESHAFT_ADVERTISED_URL } = settings;
  if (RESTATE_INGRESS_URL && RESTATE_ADMIN_URL && LINESHAFT_ADVERTISED_URL)
    return {
      ingress: { url: RESTATE_INGRESS_URL },
      admin: { url: RESTATE_ADMIN_URL },
      embedded: false,
      advertisedUrl: LINESHAFT_ADVERTISED_URL,
      // It comes from elsewhere, so it must be let in: at the advertised port, or behind a proxy at Restate's usual one.
      listen: { host: "0.0.0.0", port: Number(new URL(LINESHAFT_ADVERTISED_URL).port) || usualEndpointPort },
      identityKeys: settings.RESTATE_IDENTITY_KEYS,
    };
  const start = async () => {
    const { ingressSocket, adminSocket, identityKey, ...spec } = restateCommand({ home: home.path });
    await supervisor.start({ ...spec, stopTimeoutMs: Math.min(spec.stopTimeoutMs, childStopMs) });
    return { ingressSocket, adminSocket, identityKey };
  };
  const { ingressSocket, adminSocket, identityKey } = await start();
  return {
    ingress: { socket: ingressSocket },
    admin: { socket: adminSocket },
    embedded: true,
    identityKeys: [identityKey],
    async replaceStorage() {
      await supervisor.stop("restate");
      // Kept for a person to look at; an older one goes.
      const aside = home.file("restate.damaged");
      rmSync(aside, { recursive: true, force: true });
      renameSync(home.file("restate"), aside);
      await start();
    },
  };
}
