package nats_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// authority signs certificates for the test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.make("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// make makes a certificate and writes it to <name>.pem and <name>-key.pem.
func (a *authority) make(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	a.must(err)
	plain, err := x509.MarshalECPrivateKey(key)
	a.must(err)
	a.must(os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	a.must(os.WriteFile(a.file(name+"-key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: plain}), 0o600))
	cert, err := x509.ParseCertificate(der)
	a.must(err)
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

func (a *authority) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// tls makes the options of a server that asks clients for a certificate.
func (a *authority) tls() *tls.Config {
	a.t.Helper()
	a.make("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.make("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pair, err := tls.LoadX509KeyPair(a.file("server"), a.file("server-key"))
	a.must(err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

// credentials makes a server's options with an operator, an account and a user,
// and the file that the user presents.
func credentials(t *testing.T) (opts server.Options, file string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := func(kp nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		must(err)
		public, err := kp.PublicKey()
		must(err)
		return kp, public
	}
	operator, operatorID := key(nkeys.CreateOperator())
	account, accountID := key(nkeys.CreateAccount())
	_, systemID := key(nkeys.CreateAccount())
	user, userID := key(nkeys.CreateUser())
	claims := jwt.NewOperatorClaims(operatorID)
	accountClaims := jwt.NewAccountClaims(accountID)
	accountClaims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accountJWT, err := accountClaims.Encode(operator)
	must(err)
	userClaims := jwt.NewUserClaims(userID)
	userJWT, err := userClaims.Encode(account)
	must(err)
	seed, err := user.Seed()
	must(err)
	creds, err := jwt.FormatUserConfig(userJWT, seed)
	must(err)
	file = filepath.Join(t.TempDir(), "user.creds")
	must(os.WriteFile(file, creds, 0o600))
	resolver := &server.MemAccResolver{}
	must(resolver.Store(accountID, accountJWT))
	systemJWT, err := jwt.NewAccountClaims(systemID).Encode(operator)
	must(err)
	must(resolver.Store(systemID, systemJWT))
	return server.Options{TrustedOperators: []*jwt.OperatorClaims{claims}, AccountResolver: resolver, SystemAccount: systemID}, file
}

// Every way to prove who one is works, and without it the gateway does not start
// and says why.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	withCreds, creds := credentials(t)
	for _, c := range []struct {
		name    string
		opts    server.Options
		env     []string
		inURL   string // user and password
		without string // what the gateway says if it has none of it
	}{
		{name: "token", opts: server.Options{Authorization: "t-secret-1"}, env: []string{"NATS_TOKEN=t-secret-1"}, without: "uthorization"},
		{name: "user and password", opts: server.Options{Username: "gw", Password: "p-secret-2"}, inURL: "gw:p-secret-2@", without: "uthorization"},
		{name: "credentials file", opts: withCreds, env: []string{"NATS_CREDS=" + creds}, without: "uthorization"},
		{name: "TLS with a client certificate", opts: server.Options{TLSConfig: ca.tls(), TLSVerify: true, TLSTimeout: 5},
			env: []string{"NATS_CA=" + ca.file("ca"), "NATS_CERT=" + ca.file("client"), "NATS_KEY=" + ca.file("client-key")}, without: "certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := gatewaytest.StartNATSWith(t, c.opts)
			u := gatewaytest.NewUpstream(t, mock.Options{})
			url := strings.Replace(n.URL(), "://", "://"+c.inURL, 1)
			g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: append([]string{"NATS_URL=" + url}, c.env...)})
			if a := g.Do(t, gatewaytest.Protocols[0].Stream("hello")); a.Status != 200 {
				t.Errorf("got %d: %s", a.Status, a.Body)
			}
			bare := gatewaytest.Start(t, "logsink", []string{"NATS_URL=" + n.URL()}, "logsink", "--log-format", "json", "--data", t.TempDir())
			bare.AwaitLog(c.without, patience)
			if strings.Contains(g.Output()+bare.Output(), "secret") {
				t.Error("a secret is in the log")
			}
		})
	}
}
