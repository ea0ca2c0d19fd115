// The environment for programs that this process runs beside its children (a build, pip, system tools): what finds programs, homes,
// proxies and certificates. Providers' keys, database addresses and everything else stay here. Supervised children get less still:
// their specs name every variable.
const passedOn =
  /^(PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TEMP|TMP|LANG|LANGUAGE|LC_\w+|TZ|TERM|NO_COLOR|CI|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS|CURL_CA_BUNDLE|LD_LIBRARY_PATH|XDG_\w+|VIRTUAL_ENV|PYTHON\w*|PIP_\w+|(HTTPS?|NO|ALL|FTP)_PROXY)$/i;

/** The part of the environment that such programs get. */
export function programEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => passedOn.test(name)));
}
