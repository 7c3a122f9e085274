// Before the first paint, so that the page doesn't flash: the theme that was chosen here, if any.
document.documentElement.dataset.theme = localStorage.getItem('jobcast.theme') ?? 'auto';
