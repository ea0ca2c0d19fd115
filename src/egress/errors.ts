// Why a request did not get an answer from an address on the network. These errors speak of the endpoint, whatever it is: rooms
// that know what stands there (an engine, a tool, a source of weights) translate the code into their own words.
import { LineshaftError } from "../errors/index.ts";

/**
 * Codes: `endpoint_unreachable` (no connection, or it broke), `endpoint_timeout` (silent for too long), `address_refused` (no connection
 * may be made there), `aborted` (the caller gave up), `resource_unavailable` (`fetchPublic`: what was named cannot be had).
 */
export class EgressError extends LineshaftError {}
