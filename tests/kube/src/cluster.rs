//! kubectl and helm, as an operator types them.

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(300);

/// One namespace of the cluster that KUBECONFIG names.
#[derive(Clone)]
pub struct Cluster {
    pub namespace: String,
}

impl Cluster {
    /// Runs `kubectl ARGUMENTS` in the namespace; what it prints.
    ///
    /// # Errors
    /// What it complains of.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        output(
            "kubectl",
            &[&["--namespace", &self.namespace], arguments].concat(),
        )
        .await
    }

    /// Runs `helm ARGUMENTS` in the namespace; what it prints.
    ///
    /// # Errors
    /// What it complains of.
    pub async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        output(
            "helm",
            &[&["--namespace", &self.namespace], arguments].concat(),
        )
        .await
    }

    /// Applies `object`.
    ///
    /// # Errors
    /// What kubectl complains of.
    pub async fn apply(&self, object: &Value) -> anyhow::Result<()> {
        let mut child = Command::new("kubectl")
            .args(["--namespace", &self.namespace, "apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take().context("it is piped")?;
        stdin.write_all(object.to_string().as_bytes()).await?;
        drop(stdin);
        ensure!(child.wait().await?.success(), "kubectl apply failed");
        Ok(())
    }

    /// The objects of `kind` with the labels `selector`.
    ///
    /// # Errors
    /// What kubectl complains of.
    pub async fn list(&self, kind: &str, selector: &str) -> anyhow::Result<Vec<Value>> {
        let text = self
            .kubectl(&["get", kind, "--selector", selector, "--output", "json"])
            .await?;
        let mut list: Value = serde_json::from_str(&text)?;
        Ok(serde_json::from_value(list["items"].take())?)
    }

    /// Opens a way to `port` of `target`, such as `svc/NAME`, until the result is dropped.
    ///
    /// # Errors
    /// If kubectl does not.
    pub async fn forward(&self, target: &str, port: u16) -> anyhow::Result<Forward> {
        let mut child = Command::new("kubectl")
            .args([
                "--namespace",
                &self.namespace,
                "port-forward",
                target,
                &format!(":{port}"),
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
        let line = lines
            .next_line()
            .await?
            .with_context(|| format!("no way to {target}"))?;
        let address = line
            .split_whitespace()
            .nth(2)
            .context("kubectl names the address")?;
        Ok(Forward {
            address: address.parse()?,
            _said: lines,
            _child: child,
        })
    }

    /// GETs `path` at `port` of `target`: status and body.
    ///
    /// # Errors
    /// If there is no way, or no answer.
    pub async fn get(&self, target: &str, port: u16, path: &str) -> anyhow::Result<(u16, String)> {
        let forward = self.forward(target, port).await?;
        let answer = harness::http::get(forward.address, path).await;
        let answer = answer.with_context(|| format!("{target} does not answer at {path}"))?;
        Ok((answer.status, answer.text()))
    }
}

/// A way to a port in the cluster.
pub struct Forward {
    pub address: std::net::SocketAddr,
    /// kubectl says a line for each connection, and dies where nobody takes it.
    _said: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

async fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await;
    let output = output.with_context(|| format!("{program} is needed"))?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until `condition` gives something.
///
/// # Errors
/// With `what` and the last error if it does not within `patience`.
pub async fn eventually<T, F>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let begun = Instant::now();
    loop {
        let looked = condition().await;
        if let Ok(Some(found)) = looked {
            return Ok(found);
        }
        if begun.elapsed() > patience {
            let why = looked
                .err()
                .map(|error| format!(": {error:#}"))
                .unwrap_or_default();
            bail!("in {} s never: {what}{why}", patience.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}
