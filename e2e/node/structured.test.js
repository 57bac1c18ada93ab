// Structured output through every pair of protocols, and what the gateway does
// not serve: both libraries say so in their own words.

import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

import { key, models, url } from "./gateway.js";

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });

const schema = {
  type: "object",
  properties: { city: { type: "string" }, degrees: { type: "number" } },
  required: ["city", "degrees"],
  additionalProperties: false,
};
const messages = [{ role: "user", content: "Fill it in" }];

function fits(text) {
  const value = JSON.parse(text);
  assert.deepEqual(Object.keys(value).sort(), ["city", "degrees"]);
  assert.equal(typeof value.city, "string");
  assert.equal(typeof value.degrees, "number");
}

for (const model of models) {
  test(`structured output by Chat Completions, ${model}`, async () => {
    const body = { model, messages, response_format: { type: "json_schema", json_schema: { name: "weather", strict: true, schema } } };
    fits((await openai.chat.completions.create(body)).choices[0].message.content);
    fits((await openai.chat.completions.stream(body).finalChatCompletion()).choices[0].message.content);
  });

  test(`structured output by Responses, ${model}`, async () => {
    const body = { model, input: "Fill it in", text: { format: { type: "json_schema", name: "weather", strict: true, schema } } };
    fits((await openai.responses.create(body)).output_text);
    fits((await openai.responses.stream(body).finalResponse()).output_text);
  });

  test(`structured output by Messages, ${model}`, async () => {
    const body = { model, messages, max_tokens: 200, output_config: { format: { type: "json_schema", schema } } };
    fits((await anthropic.messages.create(body)).content[0].text);
    fits(await anthropic.messages.stream(body).finalText());
  });
}

test("what is not served", async () => {
  for (const ask of [
    () => openai.files.list(),
    () => openai.batches.list(),
    () => openai.images.generate({ prompt: "x" }),
    () => openai.responses.retrieve("resp_1"),
  ]) {
    await assert.rejects(ask(), (e) => e instanceof OpenAI.NotFoundError && e.requestID && /\/docs/.test(e.message));
  }
  await assert.rejects(anthropic.messages.batches.list(), (e) =>
    e instanceof Anthropic.NotFoundError && e.requestID && e.error.error.type === "not_found_error");
});
