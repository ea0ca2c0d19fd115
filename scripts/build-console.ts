// Builds the web console into dist/console, where the gateway serves it from. Run by `npm ci` (prepare) and by `start` when it is absent.
