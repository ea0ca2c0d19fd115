// Imported, for nothing but its name, by a test whose subject starts child processes: it puts the test into the lane `room`
// (test/lanes.ts), because in the lane `pure` a child process is an error (test/setup/pure.ts).
export {};
