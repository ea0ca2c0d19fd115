// What the bundler gives for imports that are no modules.
declare module "*.css";
declare module "*.svg" {
  const url: string;
  export default url;
}
