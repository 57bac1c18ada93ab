//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
)

const engineConfig = `<clickhouse><users_config>USERS</users_config></clickhouse>
`

// engineUsers are default, without a password, and app, with the rights that
// deploy/clickhouse gives to the log sink, and the password "app-secret-4417", so
// that tests can look for it where it must not be.
const engineUsers = `<clickhouse>
  <profiles><default/></profiles>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
    </default>
    <app>
      <password>app-secret-4417</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
      <grants>
        <query>GRANT ALL ON model_proxy*.*</query>
        <query>GRANT TABLE ENGINE ON *</query>
        <query>GRANT SELECT ON system.*</query>
      </grants>
    </app>
  </users>
  <quotas><default/></quotas>
</clickhouse>
`

// writeConfig writes the engine's configuration to dir and returns its file. The
// engine adds what it finds beside it in config.d and users.d: the same folders of
// etc, unless that is "".
func writeConfig(dir, etc string) (string, error) {
	if etc != "" {
		if err := os.CopyFS(dir, os.DirFS(etc)); err != nil {
			return "", err
		}
	}
	users, config := filepath.Join(dir, "users.xml"), filepath.Join(dir, "config.xml")
	if err := os.WriteFile(users, []byte(engineUsers), 0o600); err != nil {
		return "", err
	}
	return config, os.WriteFile(config, []byte(strings.Replace(engineConfig, "USERS", users, 1)), 0o600)
}
