//go:build chromium

package main

import (
	"context"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"model-proxy/e2e/gatewaytest"
)

// tab is a page in a Chromium that can reach nothing but the gateway.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex // guards the rest
	asked  []string   // addresses that were requested, in order
	faults []string   // exceptions, console errors, violations of the policy
}

// openTab starts Chromium. It must be installed: the build tag says so.
func openTab(t *testing.T) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // it runs as root where tests do, and shows only our own pages
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("proxy-server", "127.0.0.1:9"), // nobody answers there; loopback goes past it
		chromedp.WindowSize(1300, 1000), chromedp.WSURLReadTimeout(time.Minute), chromedp.UserDataDir(t.TempDir()))
	allocated, release := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(release)
	ctx, leave := chromedp.NewContext(allocated)
	t.Cleanup(leave)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.observe); err != nil {
		t.Fatalf("start Chromium (apt-get install chromium): %v", err)
	}
	for _, enable := range []func() error{
		func() error { _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); return err },
		func() error { _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); return err },
		func() error { _, err := chromedp.Call(ctx, runtime.Enable, cdp.Empty{}); return err },
	} {
		if err := enable(); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *tab) observe(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, e.Request.URL)
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" {
			b.faults = append(b.faults, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	value(b, chromedp.Steps(actions...))
}

// value runs an action that gives something.
func value[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, time.Minute)
	defer stop()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.t.Fatalf("%v; the page reports %v", err, b.faults)
	}
	return v
}

// await waits until an expression holds in the page.
func (b *tab) await(expression string) {
	b.t.Helper()
	b.run(chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(time.Minute)))
}

// number evaluates an expression.
func (b *tab) number(expression string) int {
	b.t.Helper()
	return value(b, chromedp.Evaluate[int](expression))
}

// checkQuiet fails if the page asked anyone but the gateway, or reported a fault.
func (b *tab) checkQuiet(gateway string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	home, err := url.Parse(gateway)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, address := range b.asked {
		if u, err := url.Parse(address); err != nil || u.Scheme != "data" && u.Host != home.Host {
			b.t.Errorf("the page asked for %s", address)
		}
	}
	for _, f := range b.faults {
		b.t.Errorf("the page reports: %s", f)
	}
}

// shoot keeps a picture where SCREENSHOTS names a folder, for human eyes.
func (b *tab) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(dir+"/"+name+".png", value(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.t.Error(err)
	}
}

// With the network closed, /docs lists every operation and tries them out.
func TestDocsInABrowser(t *testing.T) {
	g := startGateway(t)
	operations := strings.Count(g.do(t, "GET", "/openapi.json", "", "").body, `"operationId"`)
	b := openTab(t)
	b.run(chromedp.Navigate(g.url + "/docs"))
	b.await(`!document.querySelector("#page[aria-busy]")`)
	if got := b.number(`document.querySelectorAll("details.operation").length`); got != operations || got < 15 {
		t.Errorf("got %d operations, want the %d of the description", got, operations)
	}
	b.run(chromedp.SendKeys("#key", clientKey+"\t"))
	b.await(`[...document.querySelectorAll("#model option")].some((o) => o.value === "m-openai")`)
	b.run(chromedp.SetValue("#model", "m-openai"),
		chromedp.Evaluate[chromedp.Void](`document.getElementById("model").dispatchEvent(new Event("change"))`),
		chromedp.Click(`#postV1ChatCompletions > summary`))
	b.await(`document.querySelector("#postV1ChatCompletions textarea")?.value.includes('"m-openai"')`)
	if got := b.number(`document.querySelectorAll("#postV1ChatCompletions .fields li").length`); got < 20 {
		t.Errorf("got %d fields and answers, want at least 20", got)
	}
	b.run(chromedp.Click(`#postV1ChatCompletions .actions button`))
	b.await(`document.querySelector("#postV1ChatCompletions .answer")?.innerText.includes('"chat.completion"')`)
	b.await(`/HTTP 200/.test(document.querySelector("#postV1ChatCompletions .answer").innerText)`)
	b.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("#postV1ChatCompletions .actions").scrollIntoView()`))
	b.shoot("docs")
	if got := b.number(`Number(document.querySelector("#postV1ChatCompletions .answer pre").innerText.includes("` + clientKey + `"))`); got != 0 {
		t.Error("the key is shown in the curl line")
	}

	b.run(chromedp.Click(`#postV1ChatCompletionsStream > summary`),
		chromedp.WaitVisible(`#postV1ChatCompletionsStream .actions button`),
		chromedp.Click(`#postV1ChatCompletionsStream .actions button`))
	b.await(`document.querySelector("#postV1ChatCompletionsStream .answer").innerText.includes("data: [DONE]")`)
	b.checkQuiet(g.url)
}

// With the network closed, /redoc shows the whole reference in three columns.
func TestRedocInABrowser(t *testing.T) {
	g := startGateway(t)
	b := openTab(t)
	b.run(chromedp.Navigate(g.url + "/redoc#postV1Messages"))
	b.await(`!document.querySelector("#page[aria-busy]")`)
	if got := b.number(`document.querySelectorAll("section.row").length`); got < 50 {
		t.Errorf("got %d sections, want operations and schemas: at least 50", got)
	}
	if got := b.number(`[...document.querySelectorAll("nav a")].filter((a) => !document.getElementById(decodeURIComponent(a.hash.slice(1)))).length`); got != 0 {
		t.Errorf("%d links of the contents lead nowhere", got)
	}
	columns := `(() => { const left = (s) => document.querySelector(s).getBoundingClientRect().left; return left("nav") < left("#postV1Messages .text") && left("#postV1Messages .text") < left("#postV1Messages .samples") ? 1 : 0 })()`
	if b.number(columns) != 1 {
		t.Error("contents, text and samples do not stand side by side")
	}
	b.await(`Math.abs(document.getElementById("postV1Messages").getBoundingClientRect().top) < 50`)
	b.shoot("redoc")
	b.run(chromedp.Evaluate[chromedp.Void](`const filter = document.querySelector("nav input"); filter.value = "count_tokens"; filter.dispatchEvent(new Event("input"))`))
	b.await(`[...document.querySelectorAll("nav a")].filter((a) => !a.hidden).length === 1`)
	b.checkQuiet(g.url)
}

// The console lets the admin key in and no other, and shows health, usage and
// the way of a request, with the network closed.
func TestConsoleInABrowser(t *testing.T) {
	g := startGatewayWith(t, []string{"ADMIN_API_KEY=" + adminKey})
	for range 3 {
		if got := g.ask(t, "X-Request-Id", "shown"); got != 200 {
			t.Fatalf("status %d", got)
		}
	}
	gatewaytest.Await(t, time.Minute, "three records", func() bool { return len(g.rows(t, "--attempts")) == 3 && len(g.rows(t)) == 3 })
	b := openTab(t)
	b.run(chromedp.Navigate(g.url+"/console"), chromedp.WaitVisible("#key"), chromedp.SendKeys("#key", adminKey), chromedp.Click(".sign-in button"))
	b.await(`document.querySelectorAll("#requests tbody tr").length === 3`)
	b.await(`/\b3\b/.test(document.querySelector("#overview").innerText) && document.querySelector("#overview").innerText.includes("ok")`)
	b.await(`document.querySelector("#usage tbody").innerText.includes("m-openai") && document.querySelectorAll("#chart rect").length > 0`)
	b.await(`document.querySelectorAll("#keys tbody tr").length >= 4 && document.querySelector("#keys").innerText.includes("usable")`)
	b.run(chromedp.Click("#requests tbody tr"))
	b.await(`document.querySelector(".details")?.innerText.includes("sim-openai")`)
	b.shoot("console")
	b.run(chromedp.Click(`[data-metric="tokens"]`))
	b.await(`location.hash.includes("metric=tokens") && document.querySelector('[data-metric="tokens"]').getAttribute("aria-pressed") === "true"`)
	b.checkQuiet(g.url)

	b = openTab(t)
	b.run(chromedp.Navigate(g.url+"/console"), chromedp.WaitVisible("#key"), chromedp.SendKeys("#key", clientKey), chromedp.Click(".sign-in button"))
	b.await(`document.querySelector("[role=alert]")?.innerText.includes("does not accept this key")`)
}
