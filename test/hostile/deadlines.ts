// Calls whose deadline passes after their first attempt, on a machine of any speed.
import { hello, type TestGateway } from "../../src/api/testing.ts";

/** What a call is answered that waits for an endpoint until its deadline. A deadline that passed before the first attempt is doubled. */
export async function askedUntilDeadline(at: TestGateway, deadlineMs = 300): ReturnType<TestGateway["request"]> {
  const answer = await at.request("/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify(hello),
    headers: { "x-lineshaft-deadline-ms": String(deadlineMs) },
  });
  return answer.body.error?.code === "deadline_unreachable" ? askedUntilDeadline(at, 2 * deadlineMs) : answer;
}
