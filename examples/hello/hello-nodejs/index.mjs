export const handler = async ({ name = "World" }) => {
  console.log(`greeting ${name}`);
  return { message: `Hello, ${name}!`, from: `Node.js ${process.version}` };
};
