// What the tests of both libraries share: where the gateway is, which models to
// ask for, and a look at what the simulated provider has seen.

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run "go test -tags node ./e2e"`);
  return value;
}

export const url = required("MODEL_PROXY_URL");
export const key = required("MODEL_PROXY_KEY");
// The file of the scripted conversation.
export const transcript = required("MODEL_PROXY_TRANSCRIPT");
const mock = required("MODEL_PROXY_MOCK_URL");

// A model whose upstream speaks another protocol than the library goes through
// the conversion.
export const models = ["e2e-openai", "e2e-anthropic", "e2e-openai-responses"];

// A GIF of one pixel.
export const pixel = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

export const weatherSchema = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};

// outcomes counts the upstream's requests by how they ended, once at least n
// have finished.
export async function outcomes(n) {
  const response = await fetch(`${mock}/_mock/requests?wait=${n}&timeout=5s`);
  const page = await response.json();
  if (!response.ok) throw new Error(`${page.finished} requests finished upstream, want ${n} within 5 s`);
  return { finished: page.finished, cancelled: page.outcomes.cancelled ?? 0 };
}
