import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { key, models, outcomes, pixel, url, weatherSchema } from "./gateway.js";

const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });

const max_tokens = 500;
const tools = [{ name: "get_weather", input_schema: weatherSchema }];
const user = (content) => ({ role: "user", content });
const text = (message) => message.content.filter((b) => b.type === "text").map((b) => b.text).join("");
const calls = (message) => message.content.filter((b) => b.type === "tool_use");
const cities = (message) => calls(message).map((c) => c.input.city);

function checkUsage(message) {
  assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0, "usage");
  return message;
}

// streamed reads a stream to its end with the library's own helper.
async function streamed(body, options) {
  return checkUsage(await client.messages.stream({ max_tokens, ...body }, options).finalMessage());
}

async function whole(body, options) {
  return checkUsage(await client.messages.create({ max_tokens, ...body }, options));
}

for (const model of models) {
  test(`conversation, ${model}`, async () => {
    const messages = [user("Hello")];
    const first = await whole({ model, messages, system: "Be brief." });
    assert.equal(text(first), "You said: Hello");
    assert.equal(first.stop_reason, "end_turn");
    messages.push({ role: "assistant", content: first.content }, user("And again"));
    assert.equal(text(await whole({ model, messages })), "You said: And again");
    assert.equal(text(await streamed({ model, messages })), "You said: And again");
  });

  test(`tools, ${model}`, async () => {
    const messages = [user("How is the weather?")];
    const call = await whole({ model, messages, tools });
    assert.equal(call.stop_reason, "tool_use");
    assert.deepEqual(cities(call), ["Paris"]);
    assert.deepEqual(cities(await streamed({ model, messages, tools })), ["Paris"]);
    messages.push(
      { role: "assistant", content: call.content },
      user([{ type: "tool_result", tool_use_id: calls(call)[0].id, content: "sunny" }]),
    );
    assert.equal(text(await whole({ model, messages, tools })), "The tool said: sunny");
  });

  test(`parallel tool calls, ${model}`, async () => {
    const messages = [user("How is the weather in Paris and Rome?")];
    const asked = { headers: { "X-E2e-Answer": "parallel" } };
    const call = await whole({ model, messages, tools }, asked);
    assert.deepEqual(cities(call), ["Paris", "Rome"]);
    assert.deepEqual(cities(await streamed({ model, messages, tools }, asked)), ["Paris", "Rome"]);
    messages.push(
      { role: "assistant", content: call.content },
      user(calls(call).map((c) => ({ type: "tool_result", tool_use_id: c.id, content: "sunny" }))),
    );
    assert.match(text(await whole({ model, messages, tools })), /^The tool said: /);
  });

  test(`images, ${model}`, async () => {
    const answer = await whole({
      model,
      messages: [user([
        { type: "image", source: { type: "base64", media_type: "image/gif", data: pixel } },
        { type: "image", source: { type: "url", url: "https://example.com/pixel.gif" } },
        { type: "text", text: "Look" },
      ])],
    });
    assert.equal(text(answer), "I see 2 image(s). You said: Look");
  });

  test(`abort in mid-stream, ${model}`, async () => {
    const before = await outcomes(0);
    const stream = client.messages.stream(
      { model, max_tokens: 8000, messages: [user("Tell me much")] },
      { headers: { "X-Mock-Delay": "50ms", "X-Mock-Chunks": "2000" } },
    );
    let events = 0;
    await assert.rejects(async () => {
      for await (const _ of stream) {
        if (++events === 5) stream.abort();
      }
    }, Anthropic.APIUserAbortError);
    assert.equal((await outcomes(before.finished + 1)).cancelled, before.cancelled + 1);
  });

  test(`20 streams at once, ${model}`, async () => {
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const line = `I am number ${i} and say a little more than the others do`;
      const answer = await streamed({ model, messages: [user(line)] }, { headers: { "X-Mock-Delay": "5ms" } });
      assert.equal(text(answer), `You said: ${line}`);
    }));
  });

  test(`too many requests, ${model}`, async () => {
    const options = { headers: { "X-Mock-Status": "429" } };
    for (const stream of [false, true]) {
      await assert.rejects(client.messages.create({ model, max_tokens, messages: [user("Hello")], stream }, options), (e) => {
        assert.ok(e instanceof Anthropic.RateLimitError, `${e}`);
        assert.ok(e.headers.get("retry-after"), "Retry-After");
        return true;
      });
    }
  });
}

const errors = [
  ["wrong key", { model: models[1], messages: [user("Hello")] }, Anthropic.AuthenticationError, "authentication_error", { apiKey: "wrong" }],
  ["unknown model", { model: "no-such-model", messages: [user("Hello")] }, Anthropic.NotFoundError, "not_found_error", {}],
  ["bad body", { model: models[1], messages: "none" }, Anthropic.BadRequestError, "invalid_request_error", {}],
];
for (const [name, body, want, type, options] of errors) {
  test(name, async () => {
    for (const stream of [false, true]) {
      await assert.rejects(client.withOptions(options).messages.create({ max_tokens, ...body, stream }), (e) => {
        assert.ok(e instanceof want, `${e}`);
        assert.equal(e.error.error.type, type);
        assert.ok(e.requestID, "the request's id");
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
