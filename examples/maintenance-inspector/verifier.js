// Verifier `ai4i-physics` version 1: is the work order's failure mode what the physics says?
//
// The rules are those published with the AI4I 2020 data set. It sees the bare readings and the work order as the plant's system
// keeps it, never a model's words; it is pure, and runs in a sandbox without clock, randomness or network.
// Written independently of readings.ts on purpose: the panel and the judge must not share a mistake.

/** What each mode claims, as a rule over the readings. */
const rules = {
  heat_dissipation: (r) => r.process_temperature_k - r.air_temperature_k < 8.6 && r.rotational_speed_rpm < 1380,
  power: (r) => watts(r) < 3500 || watts(r) > 9000,
  overstrain: (r) => r.tool_wear_min * r.torque_nm > { L: 11000, M: 12000, H: 13000 }[r.variant],
  tool_wear: (r) => r.tool_wear_min >= 200,
};

const watts = (r) => (r.torque_nm * r.rotational_speed_rpm * 2 * Math.PI) / 60;

export default function verify({ readings, order }) {
  if (!readings || !order) return failed("Readings or work order are missing.");
  if (order.machine !== readings.machine)
    return failed(`The order is for ${order.machine}, not for ${readings.machine}.`);
  const true_modes = Object.keys(rules).filter((mode) => rules[mode](readings));
  if (order.failure_mode === "none")
    return true_modes.length === 0
      ? passed("No limit is exceeded, and the order says so.")
      : failed(`The order says none, but the readings show ${true_modes.join(" and ")}.`);
  if (!(order.failure_mode in rules)) return failed(`There is no failure mode ${order.failure_mode}.`);
  return true_modes.includes(order.failure_mode)
    ? passed(`The readings show ${order.failure_mode}.`)
    : failed(`The order says ${order.failure_mode}, but the readings show ${true_modes.join(" and ") || "none"}.`);
}

const passed = (reason) => ({ verdict: "passed", reason });
const failed = (reason) => ({ verdict: "failed", reason });
