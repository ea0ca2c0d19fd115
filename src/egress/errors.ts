// Why a request did not get an answer from an address on the network. These errors speak of the endpoint, whatever it is: rooms
// that know what stands there (an engine, a tool, a source of weights) translate the code into their own words.
import { LineshaftError } from "../errors/index.ts";

export class EgressError extends LineshaftError {}
