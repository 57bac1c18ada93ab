// The official JavaScript library's Responses client against every upstream.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { key, models, url, weatherSchema } from "./gateway.js";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });

const tools = [{ type: "function", name: "get_weather", parameters: weatherSchema, strict: false }];
const cities = (response) => response.output.filter((i) => i.type === "function_call").map((c) => JSON.parse(c.arguments).city);

// streamed reads a stream to its end with the library's own helper, which puts
// the answer together from its events.
async function streamed(body, options) {
  const stream = client.responses.stream(body, options);
  let text = "";
  stream.on("response.output_text.delta", (e) => (text += e.delta));
  const answer = await stream.finalResponse();
  assert.equal(answer.output_text, text, "text of the deltas");
  assert.ok(answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0, "usage of the stream");
  return answer;
}

for (const model of models) {
  test(`responses: conversation, ${model}`, async () => {
    const input = [{ role: "user", content: "Hello" }];
    const first = await client.responses.create({ model, instructions: "Be brief.", input, store: false });
    assert.equal(first.output_text, "You said: Hello");
    assert.equal(first.status, "completed");
    input.push(...first.output, { role: "user", content: "And again" });
    assert.equal((await client.responses.create({ model, input })).output_text, "You said: And again");
    assert.equal((await streamed({ model, input })).output_text, "You said: And again");
  });

  test(`responses: tools, ${model}`, async () => {
    const input = [{ role: "user", content: "How is the weather?" }];
    const call = await client.responses.create({ model, input, tools });
    assert.deepEqual(cities(call), ["Paris"]);
    assert.deepEqual(cities(await streamed({ model, input, tools })), ["Paris"]);
    const { call_id } = call.output.find((i) => i.type === "function_call");
    input.push(...call.output, { type: "function_call_output", call_id, output: "sunny" });
    assert.equal((await client.responses.create({ model, input, tools })).output_text, "The tool said: sunny");
  });

  test(`responses: parallel tool calls, ${model}`, async () => {
    const input = [{ role: "user", content: "How is the weather in Paris and Rome?" }];
    const asked = { headers: { "X-E2e-Answer": "parallel" } };
    assert.deepEqual(cities(await client.responses.create({ model, input, tools }, asked)), ["Paris", "Rome"]);
    assert.deepEqual(cities(await streamed({ model, input, tools }, asked)), ["Paris", "Rome"]);
  });
}

test("responses: server state is refused by name", async () => {
  const call = client.responses.create({ model: models[0], input: "hi", previous_response_id: "resp_1" });
  await assert.rejects(call, (e) => e instanceof OpenAI.BadRequestError && e.param === "previous_response_id");
});
