// GET /api/proofs, POST /api/proofs: what the proof of the ledger last compared and found, and a proof now. For owners.
import { createRoute } from "@hono/zod-openapi";
import { proof, proofs, proofWanted } from "../../contract/index.ts";
import type { ProofKind, ProofReport } from "../../ledger/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofInstance, ofOrganisation } from "../apiApp.ts";
import { answers } from "../helpers.ts";
import { proofResource, standingResource } from "../resources/standing.ts";

const tags = ["Bill"];
const read = createRoute({
  method: "get",
  path: "/api/proofs",
  authorise: action("proofs.read", ofOrganisation),
  tags,
  summary: "The newest proof of the ledger of each kind, and what is leased and in suspense; owners only",
  responses: answers("Proofs, newest first", proofs),
});
const make = createRoute({
  method: "post",
  path: "/api/proofs",
  authorise: action("proofs.make", ofInstance),
  tags,
  summary: "Prove now that bill, settlements, records, entries, balances and budgets agree; owners only",
  request: { body: { content: { "application/json": { schema: proofWanted } } } },
  responses: answers("The proof, which takes seconds for a million attempts", proof, 400),
});

export function proofRoutes({ ledger }: ServerDependencies) {
  /** Proofs under way: a second caller is answered with the first one's, because each reads the whole ledger. */
  const underWay = new Map<ProofKind, Promise<ProofReport>>();
  const prove = (kind: ProofKind): Promise<ProofReport> => {
    const running = underWay.get(kind);
    if (running) return running;
    const proving = ledger.prove(kind).finally(() => underWay.delete(kind));
    underWay.set(kind, proving);
    return proving;
  };
  return apiApp()
    .openapi(read, async (c) => {
      const { organisation } = c.var.principal;
      const [newest, standing] = await Promise.all([ledger.lastProofs(), ledger.standing(organisation)]);
      return c.json(
        { data: newest.map((one) => proofResource(one, organisation)), standing: standingResource(standing) },
        200,
      );
    })
    .openapi(make, async (c) => {
      const { kind } = c.req.valid("json");
      return c.json(proofResource(await prove(kind), c.var.principal.organisation), 200);
    });
}
