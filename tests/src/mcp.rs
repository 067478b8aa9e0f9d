//! A small MCP client over stdio: starts a server, lists its tools, calls one, reads what a model would read.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::PATIENCE;

/// The revision this client offers; every server tested still speaks it.
const REVISION: &str = "2025-06-18";

/// A running MCP server.
#[derive(Debug)]
pub struct McpServer {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    next: u64,
}

/// What a tool call gave the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolAnswer {
    /// The text of all content parts, or the message of a JSON-RPC error.
    pub text: String,
    /// Whether the server called it an error, in either way.
    pub error: bool,
}

impl McpServer {
    /// Starts a server and shakes hands.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let stdin = child.stdin.take();
        let (tx, lines) = mpsc::channel();
        std::thread::Builder::new().name("mcp stdout".to_owned()).spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tx.send(line).is_err() {
                    break;
                }
            }
        })?;
        let mut server = Self { child, stdin, lines, next: 1 };
        let hello = json!({
            "protocolVersion": REVISION,
            "capabilities": {},
            "clientInfo": { "name": "firsthand-tests", "version": "1" },
        });
        server.request("initialize", &hello)?;
        server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(server)
    }

    /// The names of the tools it offers.
    pub fn tools(&mut self) -> Result<Vec<String>> {
        let answer = self.request("tools/list", &json!({}))?;
        let tools =
            answer.pointer("/result/tools").and_then(Value::as_array).context("no tools in the answer")?;
        Ok(tools.iter().filter_map(|tool| tool.get("name")?.as_str()).map(str::to_owned).collect())
    }

    /// Calls a tool.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Result<ToolAnswer> {
        let answer = self.request("tools/call", &json!({ "name": tool, "arguments": arguments }))?;
        if let Some(error) = answer.get("error") {
            let text = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
            return Ok(ToolAnswer { text, error: true });
        }
        let result = answer.get("result").context("neither a result nor an error")?;
        let parts = result.get("content").and_then(Value::as_array).context("no content")?;
        let text = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n");
        Ok(ToolAnswer { text, error: result.get("isError").and_then(Value::as_bool).unwrap_or(false) })
    }

    fn request(&mut self, method: &str, params: &Value) -> Result<Value> {
        let id = self.next;
        self.next += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))?;
        loop {
            let line = self.lines.recv_timeout(PATIENCE).with_context(|| format!("no answer to {method}"))?;
            // Servers print notifications, and some of them plain talk, between the answers.
            let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
            if message.get("id").and_then(Value::as_u64) == Some(id) {
                return Ok(message);
            }
        }
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        let Some(stdin) = &mut self.stdin else { bail!("the server's stdin is closed") };
        writeln!(stdin, "{message}")?;
        Ok(stdin.flush()?)
    }
}

impl Drop for McpServer {
    fn drop(&mut self) {
        // Closing stdin is how MCP says goodbye; the kill is for those that do not listen.
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
