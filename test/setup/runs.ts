// How many cases a random search tries. The usual counts are what a run after every change can afford; LINESHAFT_FUZZ_TIMES multiplies all
// of them, for a night.
const times = Number(process.env["LINESHAFT_FUZZ_TIMES"] ?? 1);
if (!(times > 0))
  throw new RangeError("LINESHAFT_FUZZ_TIMES is the factor by which random searches are longer: a number above 0.");

/** `numRuns` of a property that usually has `usual` cases. */
export const runs = (usual: number): number => Math.ceil(usual * times);
