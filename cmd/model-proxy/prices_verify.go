package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"model-proxy/config"
)

// Grades of a priceFinding. An error makes costs null or doubtful.
const (
	findingError   = "error"
	findingWarning = "warning"
)

// priceFinding is something about a price that the operator should know.
type priceFinding struct {
	Grade   string `json:"grade"` // error | warning
	What    string `json:"what"`  // unpriced | file | contradiction | differs | old | unused
	Where   string `json:"where"`
	Message string `json:"message"`
}

func (a *app) pricesVerifyCommand() *cobra.Command {
	var f flags
	var form format
	var months int
	cmd := &cobra.Command{Use: "verify", Short: "Check that every route has a sound price; exit 1 if not",
		Long: `Check that every route has a sound price. Errors, which make the exit code 1, are
routes without a price, a prices.json that cannot be used, and prices that
contradict themselves, such as a cached token dearer than a fresh one. Warnings are old prices, entries of your own
prices.json that nothing uses, and such that are ten times those in the binary,
or a tenth.`,
		Example: "  model-proxy prices verify\n  model-proxy prices verify --months 3 --format json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			findings := verifyPrices(snap, time.Now().AddDate(0, -months, 0).Format(time.DateOnly))
			wrong, routes := 0, len(routePrices(snap))
			for _, found := range findings {
				if found.Grade == findingError {
					wrong++
				}
			}
			if form == asJSON || len(findings) > 0 {
				err = printRows(a, form, findings, "GRADE WHAT WHERE MESSAGE", func(p priceFinding) []string { return []string{p.Grade, p.What, p.Where, p.Message} })
			}
			if err != nil {
				return err
			}
			if wrong > 0 {
				return fmt.Errorf("%d prices need mending; docs/prices.md says how", wrong)
			}
			if form == asTable {
				_, err = fmt.Fprintf(a.stdout, "%d routes have a price, version %s\n", routes, snap.Prices.Version)
			}
			return err
		}}
	f.addConfig(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	cmd.Flags().IntVar(&months, "months", 6, "warn of prices that are older")
	return cmd
}

// priceCheck gathers what is wrong with the prices of one configuration.
type priceCheck struct {
	snap     *config.Snapshot
	oldest   string // a price of a day before it is old
	used     map[*config.Price]bool
	findings []priceFinding
}

// verifyPrices returns what is wrong with the prices of the configured routes
// and with the operator's own, errors first.
func verifyPrices(snap *config.Snapshot, oldest string) []priceFinding {
	c := &priceCheck{snap: snap, oldest: oldest, used: map[*config.Price]bool{}}
	c.files()
	c.routes()
	for _, p := range snap.Prices.All() {
		if c.used[p] || !p.Shipped {
			c.price(p)
		}
	}
	c.ages()
	slices.SortFunc(c.findings, func(a, b priceFinding) int {
		return cmp.Or(cmp.Compare(a.Grade, b.Grade), cmp.Compare(a.What, b.What), cmp.Compare(a.Where, b.Where), cmp.Compare(a.Message, b.Message))
	})
	return c.findings
}

func (c *priceCheck) add(grade, what, where, format string, args ...any) {
	c.findings = append(c.findings, priceFinding{grade, what, where, fmt.Sprintf(format, args...)})
}

// files tells what was wrong with the price files themselves.
func (c *priceCheck) files() {
	for _, p := range c.snap.Problems {
		switch {
		case filepath.Base(p.File) != "prices.json":
		case p.Warning:
			c.add(findingWarning, "file", p.File, "%s", p.Error())
		default:
			c.add(findingError, "file", p.File, "%s; the file is left out", p.Error())
		}
	}
}

// routes looks for those without a price.
func (c *priceCheck) routes() {
	for name, m := range c.snap.Models {
		for _, r := range m.Routes {
			if r.Price != nil {
				c.used[r.Price] = true
				continue
			}
			c.add(findingError, "unpriced", name+", "+r.Provider.Name+"/"+r.Model,
				`its costs are null; add {"providers": {%q: {%q: {"input": …, "output": …}}}} to prices.json`, r.Provider.Name, r.Model)
		}
	}
}

// price looks at one price that is used or the operator's own.
func (c *priceCheck) price(p *config.Price) {
	where := fileOf(p.File, p.Shipped) + ", " + p.Name()
	for _, doubt := range p.Doubts() {
		c.add(findingError, "contradiction", where, "%s", doubt)
	}
	if p.Shipped {
		return
	}
	if !c.used[p] {
		c.add(findingWarning, "unused", where, "no configured route has this price")
	}
	if s := c.snap.Prices.ShippedPrice(p.Provider, p.Model); s != nil && (farApart(p.Input, s.Input) || farApart(p.Output, s.Output)) {
		c.add(findingWarning, "differs", where, "input %s and output %s; the list in the binary says %s and %s",
			config.Dollars(p.Input), config.Dollars(p.Output), config.Dollars(s.Input), config.Dollars(s.Output))
	}
}

// ages tells of old prices, once for each file and day.
func (c *priceCheck) ages() {
	type batch struct{ file, date string }
	old := map[batch]int{}
	for p := range c.used {
		if p.Date < c.oldest {
			old[batch{fileOf(p.File, p.Shipped), p.Date}]++
		}
	}
	for b, n := range old {
		c.add(findingWarning, "old", b.file, "%d prices in use are of %s; put newer ones into prices.json", n, b.date)
	}
}

// farApart reports whether one rate is more than ten times the other, as when
// a price was written down in another unit.
func farApart(a, b int64) bool {
	low, high := min(a, b), max(a, b)
	return high > low*10
}
