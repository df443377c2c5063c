//! A foreign server at the limit's side: nginx as a reverse proxy with kept connections. It answers when the sink has.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Failure;
use super::running::{Guard, Running, free_port, listening};

const PROGRAM: &str = "nginx";

pub fn absent() -> Option<String> {
    let found = Command::new(PROGRAM).arg("-v").stderr(Stdio::null()).stdout(Stdio::null()).status();
    found.is_err().then(|| "nginx is not installed (Debian: nginx-light)".to_owned())
}

pub fn start(folder: &Path, sink: SocketAddr) -> Result<Running, Failure> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let home = folder.display();
    let path = super::PROVIDER_PATH;
    let text = format!(
        "daemon off;\nworker_processes 2;\npid {home}/nginx.pid;\nerror_log {home}/nginx.log crit;\n\
         worker_rlimit_nofile 8192;\nevents {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n\
         client_body_temp_path {home}/body;\n  proxy_temp_path {home}/proxy;\n  fastcgi_temp_path {home}/fastcgi;\n\
         uwsgi_temp_path {home}/uwsgi;\n  scgi_temp_path {home}/scgi;\n  keepalive_requests 100000000;\n\
         upstream sink {{ server {sink}; keepalive 256; keepalive_requests 100000000; }}\n\
         server {{\n    listen {address};\n    location / {{\n      proxy_pass http://sink{path};\n\
         proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n  }}\n}}\n"
    );
    let config = folder.join("nginx.conf");
    fs::write(&config, text)?;
    let child = Command::new(PROGRAM)
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(&config)
        .arg("-e")
        .arg(folder.join("nginx.log"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let guard = Guard(child);
    listening(address)?;
    Ok(Running::of(address, guard))
}
