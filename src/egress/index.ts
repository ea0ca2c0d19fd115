// What other rooms use of the egress, the only door to the network. It only exports.
export { checkHost, judgedAddress } from "./addresses.ts";
export { closeEgress, reasonOf, send, type ByteStream, type EgressRequest, type EgressResponse } from "./egress.ts";
export { EgressError } from "./errors.ts";
export { canonicalHost, credentialIn, hostOf, hostsCover, mostHosts, withoutCredential } from "./hosts.ts";
export { fetchPublic } from "./publicFetch.ts";
