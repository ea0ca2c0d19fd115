// Alarms over the API: owners see them and dismiss them, members see none.
import { expect, test } from "vitest";
import { testGateway } from "./testing.ts";

test("an owner sees an alarm in the status and the list, and dismisses it", async () => {
  await using at = await testGateway();
  at.alarms.raise({ code: "storage_full", message: "The disk is full: free some space." });
  const status = await at.request("/api/status");
  expect(status.body.alarms).toMatchObject([{ code: "storage_full", subject: null, count: 1 }]);
  const { id } = status.body.alarms[0];
  expect((await at.request("/api/alarms")).body.data).toEqual(status.body.alarms);

  expect(await at.request(`/api/alarms/${id}`, { method: "DELETE" })).toMatchObject({ status: 200, body: { id } });
  expect(await at.request(`/api/alarms/${id}`, { method: "DELETE" })).toMatchObject({ status: 404 });
  expect((await at.request("/api/status")).body.alarms).toEqual([]);
});

test("a member sees no alarm and dismisses none", async () => {
  await using at = await testGateway();
  at.alarms.raise({ code: "storage_full", message: "The disk is full: free some space." });
  const { organisation, project } = at.principal;
  const { secret } = await at.identity.createKey({ organisation, project, name: "member", role: "member" });
  const headers = { authorization: `Bearer ${secret}` };
  expect((await at.request("/api/status", { headers })).body.alarms).toEqual([]);
  expect(await at.request("/api/alarms", { headers })).toMatchObject({ status: 403 });
  const { id } = at.alarms.list()[0]!;
  expect(await at.request(`/api/alarms/${id}`, { method: "DELETE", headers })).toMatchObject({ status: 403 });
  expect(at.alarms.list()).toHaveLength(1);
});
