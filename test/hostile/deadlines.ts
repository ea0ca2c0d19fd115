// Calls whose deadline passes after their first attempt, on a machine of any speed.
import { hello, type TestGateway } from "../../src/api/testing.ts";

/**
 * The answer to a call that waits for an endpoint until its deadline. When the deadline passes before the first attempt, the call is made
 * again with twice the time.
 */
export async function askedUntilDeadline(at: TestGateway, deadlineMs = 300): ReturnType<TestGateway["request"]> {
  const answer = await at.request("/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify(hello),
    headers: { "x-lineshaft-deadline-ms": String(deadlineMs) },
  });
  return answer.body.error?.code === "deadline_unreachable" ? askedUntilDeadline(at, 2 * deadlineMs) : answer;
}
