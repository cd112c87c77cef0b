// Echo function of the benchmark.
exports.handler = async (event) => event;
