import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { key, models, outcomes, pixel, url, weatherSchema } from "./gateway.js";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });

const tools = [{ type: "function", function: { name: "get_weather", parameters: weatherSchema } }];
const user = (content) => ({ role: "user", content });
const cities = (calls) => calls.map((c) => JSON.parse(c.function.arguments).city);

// streamed reads a stream to its end with the library's own helper.
async function streamed(body, options) {
  const stream = client.chat.completions.stream({ ...body, stream_options: { include_usage: true } }, options);
  const answer = await stream.finalChatCompletion();
  assert.ok(answer.usage.prompt_tokens > 0 && answer.usage.completion_tokens > 0, "usage of the stream");
  return answer.choices[0];
}

async function whole(body, options) {
  const answer = await client.chat.completions.create(body, options);
  assert.ok(answer.usage.prompt_tokens > 0 && answer.usage.completion_tokens > 0, "usage");
  return answer.choices[0];
}

for (const model of models) {
  test(`conversation, ${model}`, async () => {
    const messages = [{ role: "system", content: "Be brief." }, user("Hello")];
    const first = await whole({ model, messages });
    assert.equal(first.message.content, "You said: Hello");
    assert.equal(first.finish_reason, "stop");
    messages.push(first.message, user("And again"));
    assert.equal((await whole({ model, messages })).message.content, "You said: And again");
    assert.equal((await streamed({ model, messages })).message.content, "You said: And again");
  });

  test(`tools, ${model}`, async () => {
    const messages = [user("How is the weather?")];
    const call = await whole({ model, messages, tools });
    assert.equal(call.finish_reason, "tool_calls");
    assert.deepEqual(cities(call.message.tool_calls), ["Paris"]);
    assert.deepEqual(cities((await streamed({ model, messages, tools })).message.tool_calls), ["Paris"]);
    messages.push(call.message, { role: "tool", tool_call_id: call.message.tool_calls[0].id, content: "sunny" });
    assert.equal((await whole({ model, messages, tools })).message.content, "The tool said: sunny");
  });

  test(`parallel tool calls, ${model}`, async () => {
    const messages = [user("How is the weather in Paris and Rome?")];
    const asked = { headers: { "X-E2e-Answer": "parallel" } };
    const call = await whole({ model, messages, tools }, asked);
    assert.deepEqual(cities(call.message.tool_calls), ["Paris", "Rome"]);
    assert.deepEqual(cities((await streamed({ model, messages, tools }, asked)).message.tool_calls), ["Paris", "Rome"]);
    messages.push(call.message);
    for (const c of call.message.tool_calls) messages.push({ role: "tool", tool_call_id: c.id, content: "sunny" });
    assert.match((await whole({ model, messages, tools })).message.content, /^The tool said: /);
  });

  test(`images, ${model}`, async () => {
    const answer = await whole({
      model,
      messages: [user([
        { type: "text", text: "Look" },
        { type: "image_url", image_url: { url: `data:image/gif;base64,${pixel}` } },
        { type: "image_url", image_url: { url: "https://example.com/pixel.gif" } },
      ])],
    });
    assert.equal(answer.message.content, "I see 2 image(s). You said: Look");
  });

  test(`abort in mid-stream, ${model}`, async () => {
    const before = await outcomes(0);
    const stream = await client.chat.completions.create(
      { model, messages: [user("Tell me much")], stream: true },
      { headers: { "X-Mock-Delay": "50ms", "X-Mock-Chunks": "2000" } },
    );
    let chunks = 0;
    for await (const _ of stream) {
      if (++chunks === 5) break; // closes the connection
    }
    assert.equal(chunks, 5);
    assert.equal((await outcomes(before.finished + 1)).cancelled, before.cancelled + 1);
  });

  test(`20 streams at once, ${model}`, async () => {
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const text = `I am number ${i} and say a little more than the others do`;
      const answer = await streamed({ model, messages: [user(text)] }, { headers: { "X-Mock-Delay": "5ms" } });
      assert.equal(answer.message.content, `You said: ${text}`);
    }));
  });

  test(`too many requests, ${model}`, async () => {
    const options = { headers: { "X-Mock-Status": "429" } };
    for (const stream of [false, true]) {
      await assert.rejects(client.chat.completions.create({ model, messages: [user("Hello")], stream }, options), (e) => {
        assert.ok(e instanceof OpenAI.RateLimitError, `${e}`);
        assert.ok(e.headers.get("retry-after"), "Retry-After");
        return true;
      });
    }
  });
}

const errors = [
  ["wrong key", { model: models[0], messages: [user("Hello")] }, OpenAI.AuthenticationError, { apiKey: "wrong" }],
  ["unknown model", { model: "no-such-model", messages: [user("Hello")] }, OpenAI.NotFoundError, {}],
  ["bad body", { model: models[0], messages: "none" }, OpenAI.BadRequestError, {}],
];
for (const [name, body, want, options] of errors) {
  test(name, async () => {
    for (const stream of [false, true]) {
      await assert.rejects(client.withOptions(options).chat.completions.create({ ...body, stream }), (e) => {
        assert.ok(e instanceof want, `${e}`);
        assert.ok(e.type, "the error's type");
        return true;
      });
    }
  });
}

test("models", async () => {
  const ids = [];
  for await (const m of client.models.list()) ids.push(m.id);
  for (const model of models) {
    assert.ok(ids.includes(model), `${ids}`);
    assert.equal((await client.models.retrieve(model)).id, model);
  }
});
