// The HTTP status of every code, in one place. A code without a line is an unforeseen failure: 500.
const statuses: Record<string, number> = {
  aborted: 499,
  action_denied: 403,
  address_refused: 400,
  attestation_own_run: 403,
  endpoint_timeout: 504,
  endpoint_unreachable: 502,
  invalid_url: 400,
  last_deployment: 409,
  manifest_invalid: 400,
  media_unavailable: 400,
  memory_short: 409,
  model_file_broken: 400,
  model_unknown: 400,
  name_taken: 409,
  not_found: 404,
  owner_only: 403,
};

/** The HTTP status that the API answers for an error with this code. */
export function statusOf(code: string): number {
  return statuses[code] ?? 500;
}
