// Twenty turns with parallel calls and thinking through every upstream, with the
// libraries' own tool runners. The upstream plays a script and refuses a request
// in which anything it said before is missing, out of order or altered.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

import { key, transcript, url } from "./gateway.js";

const script = JSON.parse(readFileSync(transcript, "utf8"));
const final = script.rounds.at(-1).text;
const calls = script.rounds.flatMap((r) => r.calls ?? []);

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });

// A model that is forgetful takes a history without thinking.
const upstreams = ["openai", "anthropic", "openai-responses"];
const insisting = [...upstreams.map((p) => `script-${p}`), "script-budget-anthropic"];
const forgetful = [...upstreams.map((p) => `script-forgetful-${p}`), "script-budget-forgetful-anthropic"];

// run is the tool: it answers as the script has it.
function run(name, input) {
  const call = calls.find((c) => c.name === name && isDeepStrictEqual(JSON.parse(c.arguments), input));
  if (!call) throw new Error(`the script has no call ${name}(${JSON.stringify(input)})`);
  return call;
}

const said = (call) => (call.failed ? `Error: ${call.result}` : call.result);
const parameters = { type: "object", properties: { path: { type: "string" } } };

const chatParams = (model) => ({
  model,
  reasoning_effort: "medium",
  max_completion_tokens: 16000,
  messages: [{ role: "user", content: script.prompt }],
  tools: script.tools.map((name) => ({
    type: "function",
    function: { name, parameters, parse: JSON.parse, function: (input) => said(run(name, input)) },
  })),
});
const options = { maxChatCompletions: 30 };

// The library's runner sends no thinking back: it has no name for it.
for (const model of forgetful) {
  for (const stream of [false, true]) {
    test(`chat: ${stream ? "streamed " : ""}loop, ${model}`, async () => {
      const runner = openai.chat.completions.runTools({ ...chatParams(model), stream }, options);
      assert.equal(await runner.finalContent(), final);
      assert.equal(runner.allChatCompletions().length, script.rounds.length);
    });
  }
}

const messagesParams = (model) => ({
  model,
  max_tokens: 16000,
  max_iterations: 30,
  thinking: { type: "enabled", budget_tokens: 8000 },
  messages: [{ role: "user", content: script.prompt }],
  tools: script.tools.map((name) => ({
    name,
    input_schema: parameters,
    parse: (input) => input,
    run: (input) => {
      const call = run(name, input);
      if (call.failed) throw new Error(call.result);
      return call.result;
    },
  })),
});

const textOf = (message) => message.content.map((b) => b.text ?? "").join("");

for (const model of insisting) {
  test(`messages: loop, ${model}`, async () => {
    let turns = 0;
    let last;
    for await (const message of anthropic.beta.messages.toolRunner(messagesParams(model))) {
      turns++;
      last = message;
    }
    assert.equal(textOf(last), final);
    assert.equal(turns, script.rounds.length);
  });

  test(`messages: streamed loop, ${model}`, async () => {
    let turns = 0;
    let last;
    for await (const stream of anthropic.beta.messages.toolRunner({ ...messagesParams(model), stream: true })) {
      turns++;
      last = await stream.finalMessage();
    }
    assert.equal(textOf(last), final);
    assert.equal(turns, script.rounds.length);
  });

  for (const streamed of [false, true]) {
    test(`responses: ${streamed ? "streamed " : ""}loop, ${model}`, async () => {
      const input = [{ role: "user", content: script.prompt }];
      const tools = script.tools.map((name) => ({ type: "function", name, parameters, strict: false }));
      const body = { model, input, tools, store: false, reasoning: { effort: "medium", summary: "auto" },
        max_output_tokens: 16000, include: ["reasoning.encrypted_content"] };
      for (let turns = 1; ; turns++) {
        const answer = streamed ? await openai.responses.stream(body).finalResponse() : await openai.responses.create(body);
        const asked = answer.output.filter((i) => i.type === "function_call");
        if (asked.length === 0 || turns > 30) {
          assert.equal(answer.output_text, final);
          assert.equal(turns, script.rounds.length);
          return;
        }
        // parsed_arguments is the library's own.
        input.push(...answer.output.map(({ parsed_arguments, ...item }) => item));
        for (const c of asked) {
          input.push({ type: "function_call_output", call_id: c.call_id, output: said(run(c.name, JSON.parse(c.arguments))) });
        }
      }
    });
  }
}
