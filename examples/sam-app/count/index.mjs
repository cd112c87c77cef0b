// Lives as long as its execution environment: warm invocations go on counting.
let calls = 0;

export const handler = async ({ name = "World" }) => {
  calls += 1;
  console.log(`call ${calls} of this environment`);
  return { name, calls, stage: process.env.STAGE };
};
